--- The views of runs moved to where every door can use them.

return require "weir.view.place"
