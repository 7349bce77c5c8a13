"""What a person says in Discord, and what they see back."""
