"""What planners see: plans, estimates, predictions and the planner's base class."""
