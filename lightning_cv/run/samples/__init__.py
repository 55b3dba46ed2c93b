"""How do new images come out of a run, and changed ones?"""
