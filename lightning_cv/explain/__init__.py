"""What did a network learn, and what does it look at? Maps and pictures of (network, images, target)."""

from lightning_cv.explain.templates import Templates, find_templates, template_images

__all__ = ["Templates", "find_templates", "template_images"]
