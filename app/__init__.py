"""The front end: reads artifacts and starts jobs; holds nothing of the method."""
