local files = require "weir.port.files"
local process = require "weir.port.process"
local testing = require "weir.testing"

local summarize = testing.module "agents/summarize"

local function document(count)
  local parts = {}
  for n = 1, count do
    parts[n] = ("## Part %d\n\nThe boats of port %d came in at dawn and brought herring in barrels.\nNobody of port %d was late that day, "
      .. "and the pilot was glad.\n\n"):format(n, n, n)
  end
  return table.concat(parts)
end

describe("pipeline sections", function()
  local folder
  before_each(function()
    folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
    assert(files.write(folder .. "/long.md", document(200)))
  end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  -- A summary takes a second here.
  local function slow(ctx, input)
    ctx:sleep(1)
    ctx.options.method, ctx.options.passes = "lead", {}
    return summarize.execute(ctx, input)
  end

  local function run(options)
    options = options or {}
    options.input, options.modules = options.input or { path = folder .. "/long.md" }, { ["agents/files"] = { roots = { folder, "." } } }
    local of = testing.run("pipelines/sections.lua", options)
    assert.equal("finished", of.status, of.error and of.error.message)
    return of
  end

  it("summarizes sections while the splitter still reads", function()
    local of = run { agents = { summarize = slow } }
    local first, last
    for index, event in ipairs(of.events) do
      if event.kind == "step" and event.status == "finished" then
        if event.name == "summary" then first = first or index elseif event.name == "lines" then last = index end
      end
    end
    assert.is_true(first < last)
    assert.equal(50, of.seconds) -- four at a time
  end)

  it("reads no further ahead than the channels hold, however slow the summaries are", function()
    local of = run { agents = { summarize = slow } }
    local split, done, most = 0, 0, 0
    for _, event in ipairs(of.events) do
      if event.kind == "item" and event.step == "live/split" then split = split + 1 end
      if event.kind == "step" and event.name == "summary" and event.status == "finished" then done = done + 1 end
      most = math.max(most, split - done)
    end
    assert.equal(200, split)
    assert.is_true(most <= 4 + 4 + 2, most .. " sections under way") -- in the channel, with the workers, on their way
  end)

  it("gives the sections in their order, each with its line, whatever the order of tasks and crashes", function()
    assert(files.write(folder .. "/long.md", document(40)))
    local expected = run().output
    assert.equal(40, expected.sections)
    local position = 0
    for line, part in expected.text:gmatch "(%d+): Part (%d+)\n" do
      position = position + 1
      assert.same({ position, (position - 1) * 5 + 1 }, { math.tointeger(part), math.tointeger(line) })
    end
    assert.equal(40, position)
    for seed = 1, 10 do assert.same(expected, run({ seed = seed, crashes = seed % 3 }).output) end
  end)

  it("summarizes a guide of the source tree", function()
    local of = run { input = { path = "docs/pipelines.md" }, real_time = true }
    assert.is_true(of.output.sections > 15)
    assert.matches("Branches and loops\n    ", of.output.text)
  end)
end)
