"""What leaves for the Hub and what comes back: datasets and models with their cards and checks, and contributions."""
