task.add_argument(
    "--image-size", type=number(int, 16), default=256, help="pixels that images from files are brought to"
)
task.add_argument("--augment", action=switch, default=True, help="vary the training images, and their masks alike")
task.add_argument("--pretrained", action=switch, default=False, help="start from torchvision's weights for COCO")
