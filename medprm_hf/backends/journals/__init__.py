"""The journal of requests: every answer kept, found again, replayed."""
