-- One pipeline, four kinds of models, one setting; and without any network what was recorded.

local aimock = dofile "spec/peers/aimock/server.lua"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"
local testing = require "weir.testing"

local TEXT = "The old mill stands below the weir. Its wheel has not turned for years. The river goes past it day and night, "
  .. "and the people of the village come to look at the water when the snow melts in the hills above them."
local ANSWER = "A mill that stands below a weir, and its river."

local function settings(url)
  return ([[return { models = {
  openai = { use = "openai", options = { url = "%s/v1", model = "gpt-4o", secret = "" } },
  anthropic = { use = "anthropic", options = { url = "%s/v1", model = "claude", secret = "" } },
  ollama = { use = "ollama", options = { url = "%s", model = "llama" } },
} }
]]):format(url, url, url)
end

describe("pipeline brief", function()
  local folder
  setup(function()
    folder = support.folder()
    support.write(folder, "text.txt", TEXT)
    support.write(folder, "modules/.keep", "")
  end)
  teardown(function() support.remove(folder) end)

  local function brief(...)
    return support.host({ "run", "brief", "--set", "path=text.txt", "--set", "words=20", "--quiet", ... }, { cwd = folder })
  end

  it("condenses with a local model, which needs nothing", function()
    support.write(folder, "weir.lua", "return {}\n")
    for _, method in ipairs { "textrank", "lexrank", "sumbasic", "lead" } do
      local done = brief("--model", "local/" .. method)
      assert.equal(0, done.status, done.stderr)
      assert.is_true(#done.stdout > 20 and #done.stdout < #TEXT, done.stdout)
    end
  end)

  it("asks what a spec puts in the place of the model", function()
    local of = testing.run("brief", { input = { path = "README.md" }, models = { m = function(_, request)
      return { message = { role = "assistant", content = "asked for " .. request.messages[2].content:match "(%d+) words" }, finish = "stop" }
    end } })
    assert.equal("asked for 60", of.output)
  end)

  it("runs unchanged with OpenAI, Anthropic and Ollama, and again from a recording when nobody is there", function()
    local missing = aimock.missing()
    if missing then return pending(missing) end
    local names = { "openai", "anthropic", "ollama" }
    local ok, err = task.within({}, function(scope)
      support.write(folder, "weir.lua", settings(aimock.start(task.spawn)))
      for _, name in ipairs(names) do
        local done = brief("--model", name, "--record", name .. ".jsonl")
        assert.same({ 0, ANSWER .. "\n" }, { done.status, done.stdout }, done.stderr)
      end
      scope:cancel "done"
    end)
    if not ok and err.code ~= "cancelled" then error(err.message or err, 0) end
    for _, name in ipairs(names) do
      local done = brief("--model", name, "--replay", name .. ".jsonl")
      assert.same({ 0, ANSWER .. "\n" }, { done.status, done.stdout }, done.stderr)
      local gone = brief("--model", name)
      assert.is_true(gone.status ~= 0) -- the control: without the recording nobody answers
    end
  end)
end)
