"""How does a trained diffusion become a folder that diffusers loads?"""
