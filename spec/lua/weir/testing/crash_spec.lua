local crash = require "weir.testing.crash"
local files = require "weir.port.files"
local process = require "weir.port.process"

-- A project of its own: documents, and a copy of the pipelines under test.
local function documents()
  local folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
  assert(files.write(folder .. "/tide.md", "# The tide\n\nThe tide came in. The boats rose with it. Nobody was at the quay.\n"))
  assert(files.write(folder .. "/wind.txt", "The wind turned. It blew from the north. The boats stayed in.\n"))
  for _, name in ipairs { "digest.lua", "digest.yaml", "publish.lua", "order.lua", "release.lua", "report.lua" } do
    local text = assert(files.read("pipelines/" .. name, {}))
    assert(files.write(folder .. "/pipelines/" .. name, text, { folders = true }))
  end
  assert(files.write(folder .. "/weir.lua", "return {}\n"))
  return folder
end

describe("a run that is killed at every position of its journal", function()
  local folder

  before_each(function() folder = documents() end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  local function passes(pipeline, given, script, status)
    local ok, summary = crash.everywhere(pipeline, given, script)
    assert.equal(status or "finished", summary.status)
    assert.same({}, summary.problems)
    assert.is_true(ok)
    return summary.positions
  end

  it("ends like one that was never killed: hello", function()
    assert.is_true(passes("pipelines/hello.lua", { "--set", "name=Ada" }) >= 6)
  end)

  it("ends like one that was never killed: digest", function()
    assert.is_true(passes(folder .. "/pipelines/digest.yaml", { "--set", "glob=*.md", "--set", "words=20" }) > 20)
  end)

  it("ends like one that was never killed: report, which is planned", function()
    assert(files.write(folder .. "/stock.csv", "item,price\nclock,12\nlamp,7\n"))
    assert.is_true(passes(folder .. "/pipelines/report.lua", { "--set", "folder=." }) > 20)
  end)

  it("ends like one that was never killed: publish, a flow", function()
    assert.is_true(passes(folder .. "/pipelines/publish.lua", {}) > 10)
  end)

  it("ends like one that was never killed: order, with an approval, a signal and a moment that it waits for", function()
    local positions = passes(folder .. "/pipelines/order.lua", { "--set", "amount=1200", "--set", "settle=0.05" }, { signal = { paid = { by = "ada" } } })
    assert.is_true(positions > 30, positions)
  end)

  it("ends like one that was never killed: order, refused, with what it undoes", function()
    passes(folder .. "/pipelines/order.lua", { "--set", "amount=1200", "--set", "settle=0.05" }, { decide = { approval = { decision = "reject" } } }, "failed")
    assert.is_nil(files.stat(folder .. "/orders/reserved.txt"))
  end)

  it("ends like one that was never killed: release, with an answer", function()
    passes(folder .. "/pipelines/release.lua", { "--set", "path=tide.md" }, { decide = { release = { answer = { title = "Tides" } } } })
  end)

  it("ends like one that was never killed, after as many attempts: retries and a step that may be started only once", function()
    assert(files.write(folder .. "/modules/agents/flaky.lua", [[
return { kind = "agent", name = "flaky", api = 1, options = { fails = "integer = 1" }, execute = function(ctx)
  ctx.memory.tries = (ctx.memory.tries or 0) + 1
  if ctx.attempt <= ctx.options.fails then error("attempt " .. ctx.attempt .. " fails") end
  return { tries = ctx.memory.tries }
end }
]], { folders = true }))
    assert(files.write(folder .. "/pipelines/stubborn.lua", [[
local weir = require "weir"
return weir.pipeline "stubborn" {
  weir.step "again" { agent = "flaky", options = { fails = 2 }, retry = { attempts = 4, backoff = "10ms" } },
  weir.step "single" { agent = "flaky", options = { fails = 0 }, once = true },
  weir.group "late" {
    weir.step "gone" { agent = "flaky", options = { fails = 9 }, retry = { attempts = 2, backoff = "10ms" }, optional = true },
    weir.step "nap" { sleep = "50ms" },
  },
  output = { "$.again.tries", "$.single.tries" },
}
]]))
    passes(folder .. "/pipelines/stubborn.lua", {})
  end)

  it("is told apart from one whose end was acknowledged before the commit", function()
    local ok, summary = crash.everywhere("pipelines/hello.lua", {}, { environment = { WEIR_DEFECT = "ack_before_commit" } })
    assert.is_false(ok)
    assert.match("acknowledgement before the commit", summary.problems[1].problem)
    assert.match("WEIR_FAILPOINT=before_request:%d+ weir run", summary.problems[1].command)
  end)

  it("says at once what a command has refused, rather than that the run never ended", function()
    assert.error_matches(function() crash.everywhere("pipelines/learn.lua", {}) end, "weir run: input.need is required")
    assert.error_matches(function() crash.everywhere("pipelines/release.lua", { "--set", "path=README.md" }) end,
      "weir approve: .*answer.title is required")
  end)
end)
