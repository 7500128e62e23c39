task.add_argument("--target", metavar="COLUMN", help="column of the CSV files that is to be predicted")
task.add_argument("--categorical", default="", metavar="A,B", help="columns of numbers that are to be categories")
task.add_argument("--dropout", type=number(float, below=1), default=0.1, help="part of units dropped in training")
