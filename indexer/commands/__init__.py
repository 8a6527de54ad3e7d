"""The commands of `visavis`, a file each or a few that belong together. They alone write to the screen."""
