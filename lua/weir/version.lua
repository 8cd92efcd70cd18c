--- The version of weir. The build has the same number.

return "0.1.0"
