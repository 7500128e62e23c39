task.add_argument("--image-size", type=number(int, 8), default=64, help="pixels that own images are brought to")
task.add_argument("--augment", action=switch, default=True, help="vary the training images")
task.add_argument("--pretrained", action=switch, default=False, help="start from torchvision's ImageNet weights")
task.add_argument("--label-smoothing", type=number(float, below=1), default=0.1, help="in training")
