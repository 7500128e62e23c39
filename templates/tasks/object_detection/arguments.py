task.add_argument("--image-size", type=number(int, 32), default=320, help="side of images from disk, in pixels")
task.add_argument("--augment", action=switch, default=True, help="vary the training images")
task.add_argument("--pretrained", action=switch, default=False, help="start from torchvision's ImageNet backbone")
task.add_argument("--box-weight", type=number(float), default=1.0, help="of the boxes' part of the loss")
