local files = require "weir.port.files"
local process = require "weir.port.process"
local testing = require "weir.testing"
local weir = require "weir"

describe("pipeline running", function()
  local folder
  before_each(function() folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX")) end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  local function text(count)
    local list = {}
    for n = 1, count do
      list[n] = ("On day %d the harbour master of port %d wrote down that %d boats had come in.\n\n"):format(n, n % 7, n * 3)
    end
    return table.concat(list)
  end

  local function run(options)
    options.modules = { ["agents/files"] = { roots = { folder } } }
    return testing.run("pipelines/running.lua", options)
  end

  it("gives a new summary again and again while the text still comes, each within its words", function()
    local whole = text(300)
    assert(files.write(folder .. "/log.txt", whole))
    local of = run { input = { path = folder .. "/log.txt" }, real_time = true }
    assert.equal("finished", of.status, of.error and of.error.message)
    local summaries = 0
    for _, event in ipairs(of.events) do
      if event.kind == "item" and event.step == "live/summary" then
        summaries = summaries + 1
        assert.is_true(event.item.words <= 80)
      end
    end
    assert.is_true(summaries >= 5)
    assert.same({ #whole, summaries }, { of.output.bytes, of.output.updates })
  end)

  it("has its first summary before the last line is read", function()
    assert(files.write(folder .. "/log.txt", text(300)))
    local of = run { input = { path = folder .. "/log.txt" }, real_time = true }
    local first, last
    for index, event in ipairs(of.events) do
      if event.kind == "item" and event.step == "live/summary" then first = first or index end
      if event.kind == "item" and event.step == "live/arrives" then last = index end
    end
    assert.is_true(first < last)
  end)

  it("ends with the same summary, whenever the host is lost on the way", function()
    assert(files.write(folder .. "/log.txt", text(120)))
    local expected = run({ input = { path = folder .. "/log.txt" } }).output
    for seed = 1, 5 do
      local of = run { input = { path = folder .. "/log.txt" }, seed = seed, crashes = 3 }
      assert.same({ "finished", expected }, { of.status, of.output })
    end
  end)

  it("refuses items that are no text", function()
    local of = testing.run(weir.pipeline "numbers" { weir.group "live" {
      weir.step "source" { agent = "count", stream = true },
      weir.step "summary" { agent = "running_summary", from = "source" },
    } }, { agents = { count = function(ctx) ctx:emit(1) end } })
    assert.same({ "failed", "invalid" }, { of.status, of.error.code })
  end)
end)
