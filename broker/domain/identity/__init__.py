"""Who somebody is: what a provider's claims, a workload's claims and the settings say of them."""
