"""What asking costs: prices, meter, ledger."""
