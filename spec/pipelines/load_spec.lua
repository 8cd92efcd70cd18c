local json = require "weir.json"
local support = dofile "spec/lua/weir/cli/support.lua"

local function csv(rows)
  local lines = {}
  for n = 1, rows do lines[n] = ("%d,boat %d,\"port, %d\"\n"):format(n, n, n % 7) end
  return table.concat(lines)
end

describe("pipeline load", function()
  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}\n")
    support.write(folder, "rows.csv", csv(2345))
  end)
  after_each(function() support.remove(folder) end)

  local function weir(arguments, env) return support.host(arguments, { cwd = folder, env = env }) end

  local function rows()
    local names, after = {}, nil
    repeat
      local arguments = { "workspace", "list", "rows/", "--scope", "pipeline:load", "--json", "--limit", "1000" }
      if after then table.move({ "--after", after }, 1, 2, #arguments + 1, arguments) end
      local page = support.lines(weir(arguments).stdout)
      for _, document in ipairs(page) do
        names[#names + 1], after = document.name, document.name
        assert.equal(1, document.version, document.name) -- written once
      end
    until #page < 1000
    return names
  end

  it("loads a table", function()
    local done = weir { "run", "load", "--set", "path=rows.csv", "--quiet" }
    assert.same({ 0, "2345 rows loaded\n" }, { done.status, done.stdout }, done.stderr)
    assert.equal(2345, #rows())
    local row = weir { "workspace", "get", "rows/00002345", "--scope", "pipeline:load" }
    assert.same({ "2345", "boat 2345", "port, 0" }, json.decode(row.stdout))
  end)

  it("is killed on purpose, again and again, goes on, and has loaded each row once", function()
    local done, kills = weir({ "run", "load", "--set", "path=rows.csv", "--quiet" }, { WEIR_FAILPOINT = "after_commit:3" }), 1
    assert.is_true(done.status ~= 0 or done.signal ~= 0)
    for lives = 1, 40 do
      done = weir({ "resume", "--quiet" }, { WEIR_FAILPOINT = ("after_commit:%d"):format(8 + lives % 3) })
      if done.status == 0 then break end
      kills = kills + 1
    end
    assert.equal(0, done.status, done.stderr)
    local run = json.decode(weir({ "show", "last", "--json" }).stdout)
    assert.same({ "finished", "2345 rows loaded" }, { run.status, run.output })
    assert.is_true(kills >= 3, kills .. " kills")
    assert.equal(2345, #rows())
  end)

  it("fails with the line where a row cannot be read", function()
    support.write(folder, "rows.csv", csv(250) .. '251,"never closed\n' .. csv(100))
    local failed = weir { "run", "load", "--set", "path=rows.csv", "--quiet" }
    assert.equal(1, failed.status)
    assert.matches("line 201 and on: row 51", failed.stderr)
  end)
end)
