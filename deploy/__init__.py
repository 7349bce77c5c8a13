"""What is deployed beside Danzar; the dashboards are made here."""
