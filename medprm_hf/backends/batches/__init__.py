"""Providers' batch APIs: half the price, hours later, behind the same journal."""
