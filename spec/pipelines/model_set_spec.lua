-- The examples that ask a model, unchanged, once another one is set: aimock in the place of a provider.

local aimock = dofile "spec/peers/aimock/server.lua"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"

local TEXT = ("The old mill stands below the weir. Its wheel has not turned for years. The river goes past it day and night, and the "
  .. "people of the village come to look at the water when the snow melts in the hills above them.\n\n"):rep(4)
local DOCUMENT = "# The valley\n\n" .. ("## The mill\n\n" .. TEXT):rep(12)

-- What each is run with, what comes out where that is what aimock has said, and within how many runs the model is asked: a
-- policy that draws leaves a model it does not know out of one run of twenty.
local EXAMPLES = {
  { name = "brief", arguments = { "--set", "path=text.txt" }, output = "^A mill that stands below a weir, and its river%.$" },
  { name = "plain", arguments = {}, output = "^The old mill uses the water of the weir%.$" },
  { name = "pyramid", arguments = { "--set", "path=text.txt" } },
  { name = "race", arguments = { "--set", "path=text.txt" } },
  { name = "models", arguments = { "--set", "path=document.md", "--set", "words=20" }, runs = 20 },
}

describe("examples that ask a model", function()
  local missing = aimock.missing()
  if missing then
    it("are asked with aimock as the model where it is installed", function() pending(missing) end)
    return
  end

  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "text.txt", TEXT)
    support.write(folder, "document.md", DOCUMENT)
    support.write(folder, "modules/.keep", "")
  end)
  after_each(function() support.remove(folder) end)

  local function host(...)
    local done = support.host({ ... }, { cwd = folder })
    assert.equal(0, done.status, done.stderr)
    return done.stdout
  end

  -- The name of the model is all that is set, in weir.lua or by `--model`.
  local function with_aimock(body)
    local ok, err = task.within({}, function(scope)
      support.write(folder, "weir.lua", ([[return { models = {
        remote = { use = "openai", options = { url = "%s/v1", model = "gpt-4o", secret = "" }, price = { input = 1, output = 1 } } } }
      ]]):format(aimock.start(task.spawn)))
      body()
      scope:cancel "done"
    end)
    if not ok and err.code ~= "cancelled" then error(err.message or err, 0) end
  end

  local function has_answered(model)
    for _, line in ipairs(support.lines(host("models", "--json"))) do
      if line.name == model then return line.calls > 0 and line.success > 0 end
    end
    return false
  end

  for _, example in ipairs(EXAMPLES) do
    it(("%s, unchanged, is asked of the model that is set"):format(example.name), function()
      with_aimock(function()
        local run, is_asked
        for _ = 1, example.runs or 1 do
          local ended = support.lines(host("run", example.name, "--model", "remote", "--json", table.unpack(example.arguments)))
          run = ended[#ended]
          assert.equal("finished", run.status)
          is_asked = has_answered "remote"
          if is_asked then break end
        end
        assert.is_true(is_asked, "it was not asked")
        if example.output then assert.matches(example.output, run.output) end
      end)
    end)
  end
end)
