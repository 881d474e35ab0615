"""What every flavour of the trainer has."""
