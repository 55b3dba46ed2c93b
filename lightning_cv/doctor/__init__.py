"""What does this machine, or do these machines, have for training, what is wrong with it, and how is it mended?"""
