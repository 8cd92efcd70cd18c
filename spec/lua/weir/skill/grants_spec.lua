local loopback = dofile "spec/loopback.lua"
local shelf = require "weir.skill.shelf"
local support = dofile "spec/lua/weir/skill/support.lua"

local function server(answer)
  local asked = {}
  local inner = loopback.listen(function(client)
    client:read_start(function(_, bytes)
      if not bytes then return end
      asked[#asked + 1] = bytes
      client:write(answer or "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    end)
  end)
  return setmetatable({ url = inner.url }, { __close = function() inner:close() end }), asked
end

describe("what a skill is granted", function()
  local place
  before_each(function() place = support.place { folders = { "skills" }, demote = { calls = 20, rate = 0 } } end) -- what is refused here stays
  after_each(function() place:close() end)

  -- A skill that hands its input to a granted method, and gives what that gave.
  local function learn(method, grants)
    place:add({ name = "probe", description = "Tries what it was granted, one method of it", needs = { argument = "any?" }, gives = { value = "any?" }, grants = grants,
      tests = { { name = "nothing happens in a trial", input = {}, error = "denied" }, { name = "again", input = {}, error = "denied" } } },
      ("return { execute = function(ctx, input) local value, message, code = ctx:%s(input.argument) if value == nil then return nil, message, code end return { value = value } end }\n"):format(method))
    return place:learn "probe a method"
  end

  local function call(argument)
    local output, err = place:call("probe", { argument = argument })
    return output and output.value, err and err.code, err and err.message
  end

  it("are files that match, below the project, and no other", function()
    support.write(place.folder .. "/data/a.csv", "1,2")
    support.write(place.folder .. "/data/secret.txt", "no")
    support.write(place.folder .. "/other.csv", "no")
    require("luv").fs_symlink("/etc/hostname", place.folder .. "/data/link.csv")
    learn("read", { files = { read = { "data/*.csv" } } })
    assert.equal("1,2", (call "data/a.csv"))
    for _, path in ipairs { "data/secret.txt", "other.csv", "../x", "data/../other.csv", "/etc/passwd", "data/./a.csv", "data/link.csv", place.folder .. "/data/a.csv" } do
      local value, code = call(path)
      assert.is_nil(value)
      assert.equal("denied", code, path)
    end
    assert.equal("not_found", select(2, call "data/b.csv"))
    assert.equal("invalid", select(2, call "data/a.csv\0"))
    assert.equal("invalid", select(2, call { path = "data/a.csv" }))
  end)

  it("is no file larger than a frame holds", function()
    support.write(place.folder .. "/data/big.csv", ("x"):rep(600 << 10))
    learn("read", { files = { read = { "data/*" } } })
    assert.equal("limit", select(2, call "data/big.csv"))
  end)

  it("are requests to named hosts with named methods, and no other", function()
    local inner <close>, asked = server()
    learn("http", { http = { hosts = { "127.0.0.1" }, addresses = "loopback" } })
    assert.equal("ok", call { url = inner.url .. "/x" }.body)
    assert.equal(1, #asked)
    for _, argument in ipairs { { url = "http://example.org/" }, { url = inner.url, method = "POST" },
      { url = "http://[::1]:1/" }, { url = "http://localhost:1/" }, { url = "http://127.0.0.1@example.org/" } } do
      local value, code = call(argument)
      assert.is_nil(value)
      assert.equal("denied", code, argument.url)
    end
    for _, argument in ipairs { "http://127.0.0.1/", { url = 1 }, { url = inner.url, headers = { a = {} } }, { url = inner.url, headers = "x" } } do
      assert.equal("invalid", select(2, call(argument)))
    end
    assert.equal(1, #asked)
  end)

  it("reach no address of this machine or its network unless that was asked for", function()
    local inner <close>, asked = server()
    learn("http", { http = { hosts = { "127.0.0.1" } } })
    assert.equal("denied", select(2, call { url = inner.url }))
    assert.equal(0, #asked)
  end)

  it("is a model, as often as was granted", function()
    place.project.settings.model = "keywords"
    learn("chat", { chat = { calls = 1 } })
    local value = call { prompt = "The tide came in, and the tide went out." }
    assert.equal("string", type(value.text))
    assert.equal("invalid", select(2, call "text"))
  end)

  it("are tools that were named, and no other", function()
    learn("tool", { tools = { "agents/echo" } })
    assert.same({ x = 1 }, (call { name = "agents/echo", input = { x = 1 } }))
    for _, name in ipairs { "agents/files", "agents/command", "echo", "mcp/x/y" } do
      assert.equal("denied", select(2, call { name = name, input = {} }), name)
    end
    assert.equal("invalid", select(2, call "agents/echo"))
  end)

  it("is the time, where it was asked for", function()
    learn("now", { clock = true })
    assert.is_true(call() > 1.7e9)
  end)

  it("is nothing that no person has given: a skill with other grants than were given is not run", function()
    local version = learn("now", { clock = true })
    assert.is_not_nil(version)
    local record = place.store:get("skills", "name/probe")
    record.given = require("weir.json").list {}
    place.store:put("skills", "name/probe", record)
    local value, code, message = call()
    assert.is_nil(value)
    assert.equal("denied", code)
    assert.match("was not let know what time it is", message, 1, true)
  end)

  it("is not given by registering: privileges that nobody gave are refused", function()
    place:add { grants = { clock = true } }
    local tried = assert(place.scout:try(place:candidate "double a number"))
    assert.equal("it wants to be let do more", tried.asks)
    local ok, err = pcall(place.scout.register, place.scout, tried.hash)
    assert.is_false(ok)
    assert.equal("denied", err.code)
    assert.is_nil(shelf.name(place.store, "double"))
  end)

  it("is asked for anew when a later version wants more, and only that", function()
    place:add { grants = { clock = true } }
    place:learn "double a number"
    place:add { version = "1.1.0", grants = { clock = true, files = { read = { "*.csv" } } } }
    local find = require "weir.skill.find"
    local tried = assert(place.scout:try(find.candidates(place.scout, { name = "double" })[1]))
    assert.same({ "read files of the project that match *.csv" }, { table.unpack(tried.added) })
    assert.equal("it wants to be let do more", tried.asks)
    place:add { version = "1.1.1", grants = { clock = true } }
    assert.is_nil(assert(place.scout:try(find.candidates(place.scout, { name = "double" })[1])).asks)
  end)
end)
