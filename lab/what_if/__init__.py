"""What-if questions: which machines suffice, and which assumptions an answer depends on."""
