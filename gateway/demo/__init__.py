"""The sample company: two ledgers with a year of books, and local servers that speak the protocols of its source systems."""
