"""What people do and are told: registers, cases, limits, hand-over, reports. Stands on `wiring.station`, knows no docking."""
