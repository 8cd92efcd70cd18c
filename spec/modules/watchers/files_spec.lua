local event_log = require "weir.event.log"
local files = require "weir.port.files"
local task = require "weir.task"
local uv = require "luv"
local worlds = require "spec.lua.weir.trigger.world"

local MANY = tonumber(os.getenv "WEIR_FILES") or 300 -- of test 92

local function pipeline(options)
  return ([[
local weir = require "weir"
return weir.pipeline "inbox" { input = "object", on = { { files = { path = "in", settle = 0.1, %s }, input = "$.event.data" } },
  weir.step "note" { agent = "notes", input = { type = "$.event.type", name = "$.event.subject", from = "$.event.data.from?" } },
  output = "$.note" }
]]):format(options):gsub('input = "object"', 'input = { path = "string", name = "any", folder = "any", size = "any", modified = "any", '
    .. 'hash = "any?", from = "any?" }')
end

describe("watcher files", function()
  local world, folder
  after_each(function()
    if world then world:close() end
    world = nil
  end)

  local function open(options)
    world = worlds.new { ["pipelines/inbox.lua"] = pipeline(options or ""), ["in/first.txt"] = "first" }
    folder = world.folder .. "/in"
  end

  local function write(name, text) world:write("in/" .. name, text) end

  -- What was given, as "TYPE NAME", in the order in which it was given.
  local function given()
    local list = {}
    for _, run in ipairs(world:runs "inbox") do
      local from = run.event.data.from
      list[#list + 1] = ("%s %s%s"):format(run.event.type:match "%a+$", run.event.subject, from and " from " .. from or "")
    end
    table.sort(list)
    return list
  end

  -- Counts what was taken in, as "TYPE NAME", whether it has become a run yet or not; each call reads on.
  local function counter()
    local counts, after = {}, nil
    return function()
      repeat
        local entries, more = event_log.page(world.host.store, { after = after, limit = 1000 })
        for _, entry in ipairs(entries) do
          local one = ("%s %s"):format(entry.event.type:match "%a+$", entry.event.subject)
          counts[one], after = (counts[one] or 0) + 1, entry.offset
        end
      until not more
      return counts
    end
  end

  local function await(expected)
    world:eventually(function() return #given() >= #expected end)
    task.sleep(0.3)
    assert.same(expected, given())
  end

  it("gives a file that is there at first, and each that is made, once", function()
    open()
    await { "created first.txt" }
    write("second.txt", "second")
    await { "created first.txt", "created second.txt" }
    world:again()
    task.sleep(0.5)
    await { "created first.txt", "created second.txt" }
    local data = world:runs("inbox")[1].event.data
    assert.same({ "in/first.txt", "first.txt", "in", 5 }, { data.path, data.name, data.folder, data.size })
  end)

  it("gives what is changed, removed and renamed, as far as it is asked for", function()
    open 'events = { "create", "modify", "delete", "rename" }'
    await { "created first.txt" }
    write("first.txt", "other")
    await { "created first.txt", "modified first.txt" }
    assert(uv.fs_rename(folder .. "/first.txt", folder .. "/moved.txt"))
    await { "created first.txt", "modified first.txt", "renamed moved.txt from first.txt" }
    os.remove(folder .. "/moved.txt")
    await { "created first.txt", "deleted moved.txt", "modified first.txt", "renamed moved.txt from first.txt" }
    write("moved.txt", "other")
    await { "created first.txt", "created moved.txt", "deleted moved.txt", "modified first.txt", "renamed moved.txt from first.txt" }
  end)

  it("tells a file by its content: one that is only touched, or put again as it was, is not given again", function()
    open()
    await { "created first.txt" }
    assert(uv.fs_utime(folder .. "/first.txt", 1000, 1000))
    task.sleep(0.3)
    write("aside", "first")
    assert(uv.fs_rename(folder .. "/aside", folder .. "/first.txt"))
    task.sleep(0.5)
    for _, one in ipairs(given()) do assert.is_nil(one:find "modified") end
  end)

  it("leaves a file alone while it is being written, and gives it whole", function()
    open()
    await { "created first.txt" }
    local file = assert(io.open(folder .. "/slow.txt", "w"))
    for _ = 1, 20 do
      file:write(("x"):rep(100))
      file:flush()
      task.sleep(0.02)
    end
    file:close()
    await { "created first.txt", "created slow.txt" }
    assert.equal(2000, world:runs("inbox")[2].event.data.size)
  end)

  it("takes names by a glob, and folders in it only when they are asked for", function()
    open 'glob = "**/*.{md,txt}", recursive = true'
    files.make_folder(folder .. "/deep")
    write("deep/a.md", "a")
    write("b.csv", "b")
    await { "created deep/a.md", "created first.txt" }
    files.make_folder(folder .. "/deep/deeper")
    write("deep/deeper/c.txt", "c")
    await { "created deep/a.md", "created deep/deeper/c.txt", "created first.txt" }
  end)

  it("does not count what is there at first where it is told so", function()
    open "existing = false"
    world:eventually(function()
      local kept = world.host.store:get("trigger.memory", "inbox/files")
      return kept and kept.memory.has_begun
    end)
    write("second.txt", "second")
    await { "created second.txt" }
  end)

  it("waits for a folder that vanishes, says so, and gives nothing twice when it comes back", function()
    open 'events = { "create", "modify", "delete", "rename" }'
    await { "created first.txt" }
    assert(uv.fs_rename(folder, world.folder .. "/away"))
    world:eventually(function() return (world.host.triggers:list()[1].trouble or ""):find "no folder 'in'" end)
    files.make_folder(folder)
    write("first.txt", "first")
    write("third.txt", "third")
    await { "created first.txt", "created third.txt" }
    assert.is_nil(world.host.triggers:list()[1].trouble)
  end)

  it("goes on with its offset when it is reloaded: what came meanwhile is given, what was given is not", function()
    open()
    await { "created first.txt" }
    for n = 1, 3 do
      write(("n%d.txt"):format(n), "n" .. n)
      world:write("pipelines/inbox.lua", pipeline('glob = "*.txt", rescan = "' .. n .. 'm"'))
      world:reload "pipelines/inbox.lua"
    end
    await { "created first.txt", "created n1.txt", "created n2.txt", "created n3.txt" }
  end)

  it("looks at everything again when the system may have dropped something", function()
    local port = require "weir.port.watch"
    local size = port.queue_size
    port.queue_size = function() return 16 end -- luacheck: ignore 122
    finally(function() port.queue_size = size end) -- luacheck: ignore 122
    open 'events = { "create", "modify", "delete", "rename" }'
    await { "created first.txt" }
    for n = 1, MANY do
      local file <close> = assert(io.open(("%s/n%03d.txt"):format(folder, n), "w"))
      file:write("n", n)
    end
    for n = 1, MANY, 3 do os.remove(("%s/n%03d.txt"):format(folder, n)) end
    for n = 2, MANY, 3 do assert(uv.fs_rename(("%s/n%03d.txt"):format(folder, n), ("%s/m%03d.txt"):format(folder, n))) end
    local taken = counter()
    local counts = world:eventually(function()
      task.sleep(0.1)
      local of = taken()
      for n = 1, MANY do
        local name, new_name = ("n%03d.txt"):format(n), ("m%03d.txt"):format(n)
        local was_made = of["created " .. name]
        if n % 3 == 0 and not was_made then return nil end
        if n % 3 == 1 and was_made ~= of["deleted " .. name] then return nil end
        if n % 3 == 2 and not (of["created " .. new_name] or of["renamed " .. new_name]) then return nil end
      end
      return of
    end, 60 + MANY / 100)
    for one, count in pairs(counts) do assert.equal(1, count, one) end
  end)
end)
