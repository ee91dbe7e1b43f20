"""The networks, each as its paper draws it."""
