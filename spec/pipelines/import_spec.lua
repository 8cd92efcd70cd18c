local testing = require "weir.testing"

local FILES = {
  ["imports/nord.csv"] = "shop,price\nNord,2.50\nS\u{fc}d,3.10\n",
  ["imports/ost.csv"] = "shop;price;note\nOst;2,50;a,b\nWest;3,10;\n",
  ["imports/lager.csv"] = 'shop,price\n"Lager,12\n',
}

local function folder()
  local system = require "weir.port.system"
  local path = system.temporary_folder "weir-import"
  for name, text in pairs(FILES) do assert(require("weir.port.files").write(path .. "/" .. name, text, { folders = true })) end
  return path
end

local function run_in(path, fields)
  local options = { real_time = true, input = { path = path .. "/imports", out = path .. "/import.md", fetch = fields and fields.fetch },
    modules = { ["agents/files"] = { roots = { path } }, ["agents/csv_table"] = { roots = { path } } } }
  for name, value in pairs(fields or {}) do if name ~= "fetch" then options[name] = value end end
  return testing.run("import", options)
end

local function read(path)
  local file = assert(io.open(path .. "/import.md"))
  local text = file:read "a"
  file:close()
  return text
end

local function remove(path) require("weir.port.process").run({ "rm", "-rf", "--", path }, {}) end

local function remedies(run)
  local list = {}
  for _, event in ipairs(run.events) do
    if event.kind == "incident" then list[#list + 1] = event.remedy end
  end
  table.sort(list)
  return list
end

describe("the pipeline import", function()
  it("reads one table as it turns out to be written, sets one aside that is none, and reports the others", function()
    local path = folder()
    local run = run_in(path)
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.same({ "parameter", "quarantine" }, remedies(run))
    local text = read(path)
    assert.is_truthy(text:find("nord.csv", 1, true) and text:find("ost.csv", 1, true))
    assert.is_nil(text:find("lager.csv", 1, true))
    remove(path)
  end)

  it("asks its source again when that does not answer", function()
    local path = folder()
    local script = ('n=$(cat %s/tries || echo 0); echo $((n+1)) > %s/tries; [ $n -ge 2 ]'):format(path, path)
    local run = run_in(path, { fetch = { "sh", "-c", script } })
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.equal(3, run:attempts "fetch")
    assert.same({ "parameter", "quarantine", "retry", "retry" }, remedies(run))
    remove(path)
  end)

  it("has a person decide about a source that does not answer at all", function()
    local path, asked = folder(), 0
    local run = run_in(path, { fetch = { "false" }, decisions = { incident = function(record)
      asked = asked + 1
      assert.is_truthy(record.title:find "fetch")
      return { decision = "edit", answer = { skip = true }, by = "ada" }
    end } })
    assert.same({ "finished", 1, 4 }, { run.status, asked, run:attempts "fetch" })
    remove(path)
  end)

  it("comes to the same end when the host is lost on the way", function()
    for seed = 1, 4 do
      local path = folder()
      local run = run_in(path, { seed = seed, crashes = 2 })
      assert.equal("finished", run.status, run.error and run.error.message)
      assert.is_truthy(read(path):find("ost.csv", 1, true))
      remove(path)
    end
  end)
end)
