"""What makes the site of the repository: python -m site_source builds it."""
