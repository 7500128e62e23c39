task.add_argument("--context", type=number(int, 2), default=336, help="time steps that a forecast is made from")
task.add_argument("--horizon", type=number(int, 1), default=96, help="time steps that are forecast")
task.add_argument("--rows", type=number(int), default=0, help="first rows of a CSV file to take, 0: all")
