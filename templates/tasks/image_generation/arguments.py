task.add_argument("--image-size", type=number(int, 8), default=32, help="pixels that own images are brought to")
task.add_argument("--augment", action=switch, default=True, help="mirror training images, where that is sensible")
task.add_argument("--width", type=number(int, 8), default=32, help="channels at full resolution, a multiple of 8")
task.add_argument("--steps", type=number(int, 1), default=4, help="steps from noise to image in flow matching")
