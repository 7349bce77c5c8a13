"""What keeps the documentation true: references made from the code, and the site's hooks."""
