--- Measures weir on this machine, each figure beside its floor: the same work done bare, in C or plain Lua, in the same run.
--- A benchmark is a file of spec/bench/. It is measured at several sizes; at each, weir and the floor take turns, and the
--- medians count, since a machine that others use drifts. Nothing is asserted: `ratio` says how near the floor weir comes
--- (higher is better, 1 is the floor itself), `exponent` how the cost of the whole work grows with its size (1: ten times the
--- work costs ten times as much).

local json = require "weir.native.json"
local paths = require "weir.paths"
local report = require "weir.bench.report"
local rig = require "weir.bench.rig"
local task = require "weir.task"
local uv = require "luv"

local M = {}

local ROUNDS = 5
local SECONDS, QUICK_SECONDS = 0.15, 0.02 -- of one run of one side

---@class weir.Benchmark one file of spec/bench/ returns a list of these
---@field figures { name: string, unit: string, goal_ratio: number?, goal_value: number?, cost: "each"|nil }[] what its functions
---  give, in order. A unit that ends in "/s" is better when more, any other when less. goal_value: a goal that has nothing to do
---  with how fast the machine is. cost `each`: the figure is that of one of `size` things
---@field sizes number[]
---@field large number[]|nil  measured too when everything is asked for
---@field once boolean|nil    each side works once: what it makes is used up
---@field prepare fun(rig: weir.bench.Rig, size: number): { weir: function, floor: function } both are given how many seconds a run
---  may take, and give one number for each figure

local function is_rate(figure)
  return figure.unit:sub(-2) == "/s"
end

local function median(values)
  table.sort(values)
  local middle = #values // 2
  if #values % 2 == 1 then return values[middle + 1] end
  return (values[middle] + values[middle + 1]) / 2
end

local function ratio_of(figure, value, floor)
  if is_rate(figure) then return value / floor end
  return floor / value
end

-- What the whole work costs at a size, in any unit that is the same for all sizes.
local function cost_of(figure, size, value)
  if is_rate(figure) then return size / value end
  return figure.cost == "each" and size * value or value
end

-- The slope of the least-squares line through (log size, log cost).
local function exponent_of(figure, cells)
  local n, sx, sy, sxx, sxy = #cells, 0, 0, 0, 0
  for _, cell in ipairs(cells) do
    local x, y = math.log(cell.size), math.log(cost_of(figure, cell.size, cell.value))
    sx, sy, sxx, sxy = sx + x, sy + y, sxx + x * x, sxy + x * y
  end
  return (n * sxy - sx * sy) / (n * sxx - sx * sx)
end

local function collect(samples, ...)
  for index = 1, select("#", ...) do
    samples[index] = samples[index] or {}
    table.insert(samples[index], (select(index, ...)))
  end
end

-- One size of one benchmark: a warm-up of both sides, then both in turn.
local function measure_size(self, benchmark, size)
  local cells
  local ok, err = task.within({}, function()
    local bench <close> = rig.new(self.folder)
    local sides = benchmark.prepare(bench, size)
    local weir, floor = {}, {}
    collectgarbage()
    for round = benchmark.once and 1 or 0, benchmark.once and 1 or ROUNDS do
      collect(round > 0 and weir or {}, sides.weir(self.seconds))
      task.yield() -- some sides never wait
      collect(round > 0 and floor or {}, sides.floor(self.seconds))
      task.yield()
    end
    cells = {}
    for index in ipairs(benchmark.figures) do
      cells[index] = { size = size, value = median(weir[index]), floor = median(floor[index]) }
    end
  end)
  if not ok then error(err, 0) end
  return cells
end

local function goal_of(figure, floor)
  if figure.goal_value then return ratio_of(figure, figure.goal_value, floor) end
  return figure.goal_ratio or json.null
end

local function rows_of(benchmark, index, cells)
  local figure, rows = benchmark.figures[index], {}
  local exponent = exponent_of(figure, cells)
  for at, cell in ipairs(cells) do
    rows[at] = { name = figure.name, size = cell.size, value = cell.value, unit = figure.unit, floor = cell.floor,
      ratio = ratio_of(figure, cell.value, cell.floor), goal_ratio = goal_of(figure, cell.floor), exponent = exponent }
  end
  return rows
end

local function sizes_of(self, benchmark)
  local sizes = { table.unpack(benchmark.sizes) }
  for _, size in ipairs(self.full and benchmark.large or {}) do sizes[#sizes + 1] = size end
  return sizes
end

local function measure(self, benchmark)
  local by_figure = {}
  for _, size in ipairs(sizes_of(self, benchmark)) do
    for index, cell in ipairs(measure_size(self, benchmark, size)) do
      by_figure[index] = by_figure[index] or {}
      table.insert(by_figure[index], cell)
    end
  end
  local rows = {}
  for index, cells in ipairs(by_figure) do
    for _, row in ipairs(rows_of(benchmark, index, cells)) do rows[#rows + 1] = row end
  end
  return rows
end

local function is_wanted(benchmark, pattern)
  if not pattern then return true end
  for _, figure in ipairs(benchmark.figures) do
    if figure.name:find(pattern) then return true end
  end
  return false
end

local function load_folder(folder, pattern)
  local names, benchmarks = {}, {}
  local handle = uv.fs_scandir(folder)
  for name in function() return handle and uv.fs_scandir_next(handle) end do
    if name:find "%.lua$" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    for _, benchmark in ipairs(assert(loadfile(folder .. "/" .. name))()) do
      if is_wanted(benchmark, pattern) then benchmarks[#benchmarks + 1] = benchmark end
    end
  end
  return benchmarks
end

local function measure_all(self, benchmarks)
  local all, failed = {}, false
  for _, benchmark in ipairs(benchmarks) do
    local ok, rows = pcall(measure, self, benchmark)
    if ok then
      for _, row in ipairs(rows) do all[#all + 1] = row end
      self.report:rows(rows)
    else
      failed = true
      self.report:failed(benchmark.figures[1].name, rows)
    end
  end
  return all, failed
end

--- Runs the benchmarks and prints a table, or with `json` one object. Waits. Takes some minutes, `quick` less, `full` much longer.
---@param options { json: boolean?, only: string?, quick: boolean?, full: boolean?, out: { write: function }?, err: { write: function }? }
---  only: a Lua pattern that a figure's name must match
---@return integer exit_status 0, 1 when a benchmark could not be run, 2 when `only` matches none, 6 when there are none here
function M.run(options)
  local self = { seconds = options.quick and QUICK_SECONDS or SECONDS, full = options.full }
  self.report = report.new(options)
  local folder = paths.library .. "/spec/bench"
  if not uv.fs_stat(folder) then return self.report:refuse(6, ("there is no %s: benchmarks belong to the source tree"):format(folder)) end
  local benchmarks = load_folder(folder, options.only)
  if #benchmarks == 0 then return self.report:refuse(2, ("no benchmark matches '%s'"):format(options.only or "")) end
  local place <close> = rig.place()
  self.folder = place.path
  self.report:begin(place)
  local rows, failed = measure_all(self, benchmarks)
  self.report:finish(rows)
  return failed and 1 or 0
end

return M
