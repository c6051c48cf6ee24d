"""What-if: which machines suffice, and which assumptions the answer hangs on."""
