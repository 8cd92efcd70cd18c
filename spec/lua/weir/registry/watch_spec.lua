-- Test 92: what the system tells of files, also when it tells too much at once.

local clock = require "weir.port.clock"
local native = require "weir.native.scheduler"
local process = require "weir.port.process"
local processes = dofile "spec/lua/weir/cli/support.lua"
local support = dofile "spec/lua/weir/registry/support.lua"
local task = require "weir.task"
local watch = require "weir.registry.watch"

local PATIENCE = 60 -- seconds until a spec gives up
local RESCAN = 2 -- seconds from when the host reads again until the change serves
local FLOOD = 100000 -- events that nobody reads meanwhile: more than the system holds
local SAY = [[
local weir = require "weir"
return weir.pipeline "say" { weir.step "talk" { agent = "talk" } }
]]

describe("a watch over a project", function()
  local place, registry, open
  before_each(function()
    place = support.place()
    place:agent("talk", "return { text = 'one' }")
    registry = place:open().registry
    assert(registry:lookup("agent", "talk"))
  end)
  after_each(function()
    if open then open:close() end
    open = nil
    place:close()
  end)

  local function file(name) return place.folder .. "/" .. name end

  -- Paths that are told until the wanted one is among them.
  local function told(wanted)
    local seen = {}
    local ok, err = task.within({ timeout = PATIENCE }, function()
      repeat
        for _, path in ipairs(open:next()) do seen[path] = true end
        open:refresh()
      until seen[file(wanted)]
    end)
    assert(ok, err and ("%s was not told: %s"):format(wanted, err.message))
    return seen
  end

  it("tells of a file that was written in place, replaced, made, moved or removed", function()
    open = watch.open(registry)
    local handle = assert(io.open(file "modules/agents/talk.lua", "ab"))
    handle:write "-- more\n"
    handle:close()
    told "modules/agents/talk.lua"
    place:agent("talk", "return { text = 'two' }") -- written aside and renamed
    told "modules/agents/talk.lua"
    place:agent("new", "return {}")
    told "modules/agents/new.lua"
    assert(os.rename(file "modules/agents/new.lua", file "modules/agents/newer.lua"))
    local seen = told "modules/agents/newer.lua"
    assert.is_true(seen[file "modules/agents/new.lua"])
    place:remove "modules/agents/newer.lua"
    told "modules/agents/newer.lua"
    place:write("pipelines/some.yaml", "weir: 1")
    told "pipelines/some.yaml"
  end)

  it("takes a burst together, and says nothing of what editors and the store leave behind", function()
    open = watch.open(registry, { settle = 0.5 })
    for number = 1, 50 do place:agent("talk", ("return { text = '%d' }"):format(number)) end
    for _, name in ipairs { ".talk.lua.swp", "talk.lua~", "4913", ".hidden.lua" } do place:write("modules/agents/" .. name, "x") end
    assert(process.run { "mkdir", file ".weir" })
    assert.same({ [file "modules/agents/talk.lua"] = true }, told "modules/agents/talk.lua")
  end)

  it("watches folders that come later, with what they hold already, and that are replaced", function()
    open = watch.open(registry)
    assert(process.run { "mkdir", "-p", file "modules/critics/deep/er" })
    place:write("modules/critics/calm.lua", "return {}")
    told "modules/critics/calm.lua"
    place:write("modules/critics/deep/er/x.lua", "return {}")
    told "modules/critics/deep/er/x.lua"
    assert(process.run { "rm", "-r", file "modules/critics" })
    place:write("modules/critics/calm.lua", "return { 1 }")
    told "modules/critics/calm.lua"
    place:write("modules/critics/calm.lua", "return { 2 }")
    told "modules/critics/calm.lua"
  end)

  it("watches the folders of what is required, also of what is not there yet", function()
    place:write("lib/words.lua", "return { word = 'one' }")
    place:agent("ann", "return words", "local words = require 'lib.words'")
    place:agent("ben", "return words", "local words = require 'other.place.words'")
    assert(registry:lookup("agent", "ann"))
    assert.is_nil((registry:lookup("agent", "ben")))
    open = watch.open(registry)
    place:write("lib/words.lua", "return { word = 'two' }")
    told "lib/words.lua"
    place:write("other/place/words.lua", "return {}")
    told "other/place/words.lua"
  end)

  it("looks at all files again when the system may have dropped events", function()
    open = watch.open(registry, { overflow = 3 })
    for number = 1, 5 do place:agent("some" .. number, "return {}") end
    local seen = told "modules/agents/some5.lua"
    assert.is_true(seen[file "modules/agents/talk.lua"])
  end)

  -- Files that come and go; each is told of three times or more.
  local function flood(name)
    for number = 1, FLOOD // 3 do
      local path = file("modules/agents/" .. name:format(number % 50))
      local handle = assert(io.open(path, "wb"))
      handle:write "x"
      handle:close()
      os.remove(path)
    end
  end

  for what, name in pairs { ["files of editors"] = ".%d.swp", modules = "m%d.lua", ["other files"] = "m%d.txt" } do
    it("hears of what comes behind a hundred thousand events of " .. what .. ", which the system drops", function()
      place:write("weir.lua", "return { listen = false }")
      place:write("pipelines/say.lua", SAY)
      local host = processes.start({ "serve", "--watch", "--log", "info" }, { cwd = place.folder })
      assert(processes.read_until(host.stderr, "host started"))
      assert.equal(0, processes.host({ "run", "say", "-q" }, { cwd = place.folder }).status)
      host:kill "sigstop" -- nobody reads what the system has to tell
      flood(name)
      place:agent("talk", "return { text = 'late' }")
      local from = clock.now()
      host:kill "sigcont"
      local came, err = task.within({ timeout = PATIENCE }, function()
        assert(processes.read_until(host.stderr, "reloaded[^\n]*agents/talk"))
      end)
      host:close()
      assert.is_true(came, err and err.message)
      assert.is_true(clock.now() - from <= RESCAN, clock.now() - from)
    end)
  end

  it("comes to the last text of files that are written in pieces, moved, removed and made again by another process", function()
    local reports = 0
    registry:observe(function() reports = reports + 1 end)
    local script = [[
      for n in $(seq 1 60); do
        printf 'return { kind = "agent", name = "talk", ' > talk.lua; printf 'api = 1, execute = function() return { text = "%d" } end }' $n >> talk.lua
        mv talk.lua away.lua; mv away.lua talk.lua; rm talk.lua; printf 'return {' > .new; mv .new talk.lua
      done
      printf 'return { kind = "agent", name = "talk", api = 1, execute = function() return { text = "last" } end }' > .new; mv .new talk.lua]]
    local ok = task.within({ timeout = PATIENCE }, function(scope)
      task.spawn(watch.run, registry)
      task.yield()
      assert.equal(0, process.run({ "sh", "-c", script }, { cwd = file "modules/agents" }).status)
      while assert(registry:lookup("agent", "talk")).module.execute().text ~= "last" do task.sleep(0.01) end
      scope:cancel "enough"
    end)
    assert.is_false(ok)
    assert.equal("last", assert(registry:lookup("agent", "talk")).module.execute().text)
    assert.is_true(reports >= 1)
  end)

  it("reloads, again and again, until its task is cancelled, and leaves nothing open", function()
    local reports, waiter = {}, nil
    registry:observe(function(report)
      reports[#reports + 1] = report
      if waiter then waiter:wake() end
    end)
    local function await(text)
      local ok, err = task.within({ timeout = PATIENCE }, function()
        while assert(registry:lookup("agent", "talk")).module.execute().text ~= text do
          waiter = native.waiter()
          waiter:wait "a report"
        end
      end)
      assert(ok, err and err.message)
    end
    local ok = task.within({ timeout = PATIENCE }, function(scope)
      task.spawn(watch.run, registry)
      task.yield()
      for number = 2, 5 do
        place:agent("talk", ("return { text = 'text %d' }"):format(number))
        await(("text %d"):format(number))
        place:write("modules/agents/talk.lua", "broken")
        place:agent("talk", ("return { text = 'again %d' }"):format(number))
        await(("again %d"):format(number))
      end
      scope:cancel "enough"
    end)
    assert.is_false(ok)
    assert.is_true(#reports >= 8, #reports)
  end)
end)
