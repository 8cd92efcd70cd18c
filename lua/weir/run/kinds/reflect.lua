--- A step that reflects on a run of a pipeline: what follows such a run is a run of its own with this one step (see
--- `weir.reflection.start`), so that it is kept, limited, shown and gone on with like any other.

local M = { name = "reflect", has_steps = true }

--- Proposes, tries, keeps or reverts, until it may not or need not go on. Waits.
function M.execute(frame, step, key, input)
  return require("weir.reflection.cycle").run(frame, step, key, input)
end

return M
