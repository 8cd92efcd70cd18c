--- weir bench: the benchmarks, each figure beside its floor.

local M = {
  name = "bench",
  summary = "Measures weir on this machine, each figure beside its floor: the same work done bare, in the same run.",
  examples = { "bench", "bench --only durable", "bench --only parked --full", "bench --quick --json" },
  notes = "ratio: how near its floor, higher is better; exponent: how the cost grows with the size (1: ten times the work\n"
    .. "costs ten times as much). Benchmarks belong to the source tree.",
}

function M.declare(parser)
  parser:option("--only", "only figures whose name matches the Lua pattern"):argname "PATTERN"
  parser:flag("--quick", "shorter and rougher")
  parser:flag("--full", "the largest sizes too, such as 1,000,000 parked runs; takes many minutes")
end

function M.run(arguments, context)
  return require("weir.bench").run { json = arguments.json, only = arguments.only, quick = arguments.quick, full = arguments.full,
    out = context.out.file, err = context.err.file }
end

return M
