"""Who decides how a new revision takes over? Policies that only decide, and the controllers that act for them."""
