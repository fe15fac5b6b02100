"""What runs read: where it is now, kept where it is not, and brought back."""
