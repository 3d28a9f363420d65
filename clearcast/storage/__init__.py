"""What is kept: at present the enrolled voices."""
