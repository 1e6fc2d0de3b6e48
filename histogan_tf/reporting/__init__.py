"""What people look at: pictures and web pages."""
