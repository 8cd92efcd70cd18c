--- Calls that are cancelled at any moment leave nothing behind. WEIR_MCP_CALLS says how many, over all kinds of servers;
--- the nightly test makes 10,000.

local client_of = require "weir.mcp.client"
local json = require "weir.native.json"
local servers = dofile "spec/lua/weir/mcp/http_server.lua"
local support = dofile "spec/lua/weir/mcp/support.lua"
local task = require "weir.task"

local CALLS = tonumber(os.getenv "WEIR_MCP_CALLS") or 400
local AT_ONCE = 20
local EACH = math.max(AT_ONCE, CALLS // 4)

describe(("%d cancelled calls"):format(EACH * 4), function()
  local missing = support.missing()

  -- Each call is cancelled after another number of turns: before it is sent, while it is, when it has been for long.
  local function cancel_many(client)
    local made = 0
    while made < EACH do
      assert(task.within({}, function()
        for n = 1, AT_ONCE do
          local running = task.spawn(function() client:call("hang", {}, { on_progress = function() end }) end)
          task.spawn(function()
            for _ = 1, (made + n) % 7 do task.yield() end
            if n % 3 == 0 then task.sleep(0.001 * (n % 5)) end
            running:cancel "enough"
          end)
        end
      end))
      made = made + AT_ONCE
    end
  end

  local function settled(before)
    local now
    support.eventually(function()
      now = support.open_now()
      return now.tasks <= before.tasks and now.transfers <= before.transfers
    end)
    return now
  end

  for _, mode in ipairs { "legacy", "modern" } do
    local title = ("leave no task and no process, over pipes to a %s server"):format(mode)
    if missing then
      pending(title .. " (" .. missing .. ")")
    else
      it(title, function()
        assert(support.open(mode)):close() -- what is opened once, is
        local outside = support.open_now()
        local client <close> = assert(support.open(mode))
        client:tools()
        local before = support.open_now()
        cancel_many(client)
        assert.is_nil(next(client.transport.pending))
        local found = json.decode(client:call("left").content[1].text)
        assert.same({}, found.left)
        assert.is_true(found.seen > 0)
        assert.same(before, settled(before))
        client:close()
        assert.same(outside, settled(outside))
      end)
    end
  end

  for era, make in pairs { modern = servers.modern, legacy = servers.legacy } do
    it(("leave no task and no socket, over HTTP to a %s server"):format(era), function()
      local held, told = 0, 0
      local server = make(function(request, reply)
        local message = request.message
        if message.method == "notifications/cancelled" then told = told + 1 end
        if message.method ~= "tools/call" then return end
        held = held + 1
        request.was_held = true
        if message.id % 2 == 0 then reply:stream() end -- otherwise not even the headers come
      end)
      local tools = { { name = "hang", inputSchema = { type = "object" } } }
      local handle = server.handle
      server.handle = function(request, reply)
        if request.message.method ~= "tools/list" then return handle(request, reply) end
        reply:result(request.message.id, { resultType = "complete", tools = tools })
      end
      local client <close> = assert(client_of.open({ url = server.url }, { name = "spec" }))
      client:tools()
      local before = support.open_now()
      cancel_many(client)
      assert.is_true(held > 0)
      assert.truthy(support.eventually(function()
        for _, request in ipairs(server.requests) do
          if request.was_held and not request.is_gone then return false end
        end
        return true
      end))
      if era == "legacy" then assert.truthy(support.eventually(function() return told >= held end)) end
      local after = settled(before)
      for _, what in ipairs { "children", "tasks", "transfers" } do assert.is_true(after[what] <= before[what], what) end
      assert.is_true(after.descriptors <= before.descriptors + 16) -- connections that are kept to be used again, at both ends
      client:close()
      server.close()
    end)
  end

  if missing then
    pending("leave nothing when they open the server (" .. missing .. ")")
  else
    it("leave nothing when they open the server", function()
      assert(support.open "legacy"):close()
      local before = support.open_now()
      for n = 1, math.max(10, EACH // 25) do
        local running = task.start({ name = "opening" }, function()
          local client <close> = assert(support.open(n % 2 == 0 and "modern" or "legacy"))
          client:call "hang"
        end)
        for _ = 1, n % 4 do task.yield() end
        task.sleep((n * 7 % 20) / 200)
        running:cancel "enough"
        running:join()
      end
      assert.same(before, settled(before))
    end)
  end
end)
