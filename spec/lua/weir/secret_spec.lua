local digest = require "weir.native.digest"
local http = require "weir.port.http"
local loopback = dofile "spec/loopback.lua"
local native = require "weir.native.secret"
local process = require "weir.port.process"
local scheduler = require "weir.native.scheduler"
local secret = require "weir.secret"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"
local uv = require "luv"

-- A value that stands nowhere else, and a name of its own.
local function new_value() return digest.to_hex(digest.random(12)) end
local function new_name() return "SPEC_" .. new_value():upper() end

describe("a secret", function()
  local folder, server, asked
  before_each(function()
    folder = support.folder()
    asked = {}
    secret.configure(nil, folder)
  end)
  after_each(function()
    support.remove(folder)
    secret.configure(nil, ".")
    if server then server:close() end
    server = nil
  end)

  -- Answers every request with `answer`, and keeps what was asked.
  local function serve(answer)
    server = loopback.listen(function(client)
      local text = ""
      client:read_start(function(_, bytes)
        if not bytes then return client:is_closing() or client:close() end
        text = text .. bytes
        if not text:find "\r\n\r\n" or client:is_closing() then return end
        asked[#asked + 1], text = text, ""
        client:write(answer or "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      end)
    end)
    return server.url .. "/"
  end

  local function ask(headers, more)
    local request = { url = server and server.url .. "/" or serve(), headers = headers }
    for name, value in pairs(more or {}) do request[name] = value end
    return http.fetch(request)
  end

  local function in_environment()
    local name, value = new_name(), new_value()
    uv.os_setenv(name, value)
    return name, value
  end

  local function in_file(text, mode)
    local name = new_name()
    support.write(folder, name, text)
    uv.fs_chmod(folder .. "/" .. name, tonumber(mode or "600", 8))
    return name
  end

  it("is a handle that shows its name and nothing else", function()
    local name, value = in_environment()
    local handle = secret.handle(name)
    assert.equal("secret://" .. name, tostring(handle))
    assert.equal(handle, secret.handle(name))
    assert.are_not.equal(handle, secret.handle(new_name()))
    assert.is_true(secret.load(handle))
    assert.equal("secret://" .. name, tostring(handle))
    assert.is_false(getmetatable(handle))
    assert.is_false(pcall(function() return handle.value end))
    assert.is_false(pcall(function() return handle .. "" end))
    assert.equal("userdata", type(handle))
    assert.is_nil((require("weir.json").encode { handle }))
    assert.is_nil(tostring(handle):find(value, 1, true))
    assert.has_error(function() secret.handle "a b" end)
    assert.has_error(function() secret.handle "" end)
  end)

  it("is put into headers where they are sent, alone or among texts", function()
    local name, value = in_environment()
    assert(ask { authorization = { "Bearer ", secret.handle(name), "!" }, ["x-key"] = secret.handle(name), ["x-list"] = { "a", "b" } })
    local head = asked[1]:lower()
    assert.matches("\r\nauthorization: bearer " .. value .. "!\r\n", head)
    assert.matches("\r\nx%-key: " .. value .. "\r\n", head)
    assert.matches("\r\nx%-list: a\r\nx%-list: b\r\n", head)
  end)

  it("of a file is its text without the end of the last line", function()
    local value = new_value()
    local name = in_file(value .. "\n")
    secret.configure({ [name] = { file = name } }, folder)
    assert(ask { ["x-key"] = secret.handle(name) })
    assert.matches("\r\nx%-key: " .. value .. "\r\n", asked[1])
  end)

  it("of a command is the first line that it prints, whatever it says besides", function()
    local name, value = new_name(), new_value()
    secret.configure({ [name] = { command = { "sh", "-c", ("echo %s; echo more; echo %s >&2"):format(value, value) } } }, folder)
    assert(ask { ["x-key"] = secret.handle(name) })
    assert.matches("\r\nx%-key: " .. value .. "\r\n", asked[1])
  end)

  it("is asked for once, however many want it at the same time", function()
    local name, value = new_name(), new_value()
    secret.configure({ [name] = { command = { "sh", "-c", ("echo x >> count; sleep 0.05; echo %s"):format(value) } } }, folder)
    local done = 0
    task.within({}, function()
      for _ = 1, 5 do
        scheduler.spawn(function() if secret.load(secret.handle(name)) then done = done + 1 end end)
      end
    end)
    assert.equal(5, done)
    assert.equal("x\n", require("weir.port.files").read(folder .. "/count"))
  end)

  it("that is not there is said in words, with the code denied", function()
    local name = new_name()
    local answer, message, code = ask { authorization = { "Bearer ", secret.handle(name) } }
    assert.is_nil(answer)
    assert.equal("denied", code)
    assert.matches(("secret '%s': there is no such environment variable and weir.lua's `secrets` does not name it; set %s"):format(name, name),
      message, 1, true)
    assert.equal(0, #asked)
  end)

  it("that stands in an empty variable is said to be empty", function()
    local name = new_name()
    uv.os_setenv(name, "")
    assert.equal(("secret '%s': environment variable '%s' is empty"):format(name, name), (select(2, secret.load(secret.handle(name)))))
  end)

  for title, case in pairs {
    ["a variable that is not set"] = { function() return { env = "SPEC_NOT_SET" } end, "there is no environment variable 'SPEC_NOT_SET', which weir.lua names for it; set it" },
    ["a file that is not there"] = { function() return { file = "none" } end, "/none' does not exist" },
    ["a file that others may read"] = { function(file) return { file = file("some text", "640") } end, "may be read by others; make a new secret, then chmod 600 it" },
    ["a folder"] = { function() return { file = "." } end, "is no ordinary file" },
    ["an empty file"] = { function(file) return { file = file "\n" } end, "is empty" },
    ["a file with a NUL byte"] = { function(file) return { file = file "a\0b" } end, "has a NUL byte" },
    ["a file that is too long"] = { function(file) return { file = file(("x"):rep(65537)) } end, "has more than 65536 bytes" },
    ["a command that is not there"] = { function() return { command = { "no-such-program" } } end, "no-such-program" },
    ["a command that fails"] = { function() return { command = { "sh", "-c", "echo half; exit 3" } } end, "command 'sh' ended with status 3; run it by hand to see why" },
    ["a command that prints nothing"] = { function() return { command = { "true" } } end, "the first line of what command 'true' prints is empty" },
    ["a command that prints without end"] = { function() return { command = { "yes" } } end, "command 'yes': stdout passed 65536 bytes" },
  } do
    it("of " .. title .. " is refused", function()
      local name = new_name()
      secret.configure({ [name] = case[1](in_file) }, folder)
      local done, message, code = secret.load(secret.handle(name))
      assert.is_nil(done)
      assert.equal("denied", code)
      assert.matches(("secret '%s': "):format(name), message, 1, true)
      assert.matches(case[2], message, 1, true)
    end)
  end

  it("with an end of line in it is refused as a header, and not shown", function()
    local first = new_value()
    local name = in_file(first .. "\r\nx-more: 1")
    secret.configure({ [name] = { file = name } }, folder)
    local answer, message, code = ask { ["x-key"] = secret.handle(name) }
    assert.is_nil(answer)
    assert.equal("invalid", code)
    assert.matches("header 'x-key' has a character that is not allowed", message, 1, true)
    assert.is_nil(message:find(first, 1, true))
  end)

  it("is not sent on to another host, whatever the header is called, but within the same", function()
    local name, value = in_environment()
    local other = loopback.listen(function(client)
      client:read_start(function(_, bytes)
        if not bytes then return client:is_closing() or client:close() end
        asked[#asked + 1] = bytes
        client:write "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
      end)
    end)
    serve(("HTTP/1.1 307 Temporary Redirect\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n"):format(other.url))
    assert.equal(200, ask({ authorization = { "Bearer ", secret.handle(name) }, accept = secret.handle(name), ["user-agent"] = "mine" }).status)
    other:close()
    assert.equal(2, #asked)
    assert.is_truthy(asked[1]:find(value, 1, true))
    assert.is_nil(asked[2]:find(value, 1, true))
    assert.matches("user%-agent: mine", asked[2])
    server:close()
    asked = {}
    serve "HTTP/1.1 307 Temporary Redirect\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"
    assert.equal("limit", select(3, ask { ["x-key"] = secret.handle(name) }))
    assert.is_truthy(asked[4]:find(value, 1, true))
  end)

  it("is in no message, although it stands in the url that somebody redirects to", function()
    local name, value = in_environment()
    assert(secret.load(secret.handle(name)))
    serve(("HTTP/1.1 302 Found\r\nLocation: http://%s.invalid/%s/%s?x=%s\r\nContent-Length: 0\r\n\r\n"):format(value, ("p"):rep(190), value, value))
    local _, message = ask({ ["x-key"] = secret.handle(name) }, { timeout = 20 })
    assert.is_nil(message:find(value:sub(1, 8), 1, true), message)
    assert.matches("[secret " .. name .. "]", message, 1, true)
  end)

  it("is inherited by no child, and read by no module", function()
    local name, value, variable = new_name(), new_value(), "SPEC_PLAIN_" .. new_value():upper()
    uv.os_setenv(variable, value)
    local before = process.run({ "env" }).stdout
    assert.is_truthy(before:find(variable, 1, true)) -- the control: it is inherited as long as nothing names it
    secret.configure({ [name] = { env = variable } }, folder)
    assert.is_nil(process.run({ "env" }).stdout:find(variable, 1, true))
    local run = require("weir.testing").run_text("x.lua", ([[
      local weir = require "weir"
      return weir.flow "x" { function() return os.getenv "%s" end }]]):format(variable))
    assert.equal("failed", run.status)
    assert.equal("denied", run.error.code)
    assert.matches(("use ctx:secret \"%s\""):format(name), run.error.message, 1, true)
  end)

  it("is out of what the store is given, in texts of any depth, and stays out after it was forgotten", function()
    local name, value = in_environment()
    local checkpoint = require "weir.native.checkpoint"
    local mask = ("[secret %s]"):format(name)
    local given = { a = { "x" .. value .. "y", value }, b = value:sub(2) }
    assert.same(given, checkpoint.decode(checkpoint.encode(given)))
    assert(secret.load(secret.handle(name)))
    assert.same({ a = { "x" .. mask .. "y", mask }, b = value:sub(2) }, checkpoint.decode(checkpoint.encode(given)))
    secret.forget(name)
    assert.is_false(native.is_loaded(secret.handle(name)))
    assert.equal(mask, checkpoint.decode(checkpoint.encode(value)))
    local bytes, message, code = checkpoint.encode { deep = { [value] = 1 } }
    assert.is_nil(bytes)
    assert.equal("invalid", code)
    assert.equal("value.deep: a key has the value of a secret in it", message)
  end)

  it("is out of a text that comes in pieces, wherever it is cut", function()
    local name, value = in_environment()
    local text, mask = ("it is %s, and not %s"):format(value, value:sub(1, 9)), ("it is [secret %s], and not %s"):format(name, value:sub(1, 9))
    local function filtered(size)
      local filter, pieces = secret.filter(), {}
      for at = 1, #text, size do pieces[#pieces + 1] = filter:feed(text:sub(at, at + size - 1)) end
      pieces[#pieces + 1] = filter:finish()
      return table.concat(pieces)
    end
    assert.equal(text, filtered(5))
    assert(secret.load(secret.handle(name)))
    for size = 1, #text do assert.equal(mask, filtered(size)) end
  end)

  it("is out of the log and of what is printed", function()
    local name, value = in_environment()
    assert(secret.load(secret.handle(name)))
    local lines = {}
    require("weir.log").new { write = function(line) lines[#lines + 1] = line end }:info("it is " .. value, { [value] = { value } })
    assert.is_nil(lines[1]:find(value, 1, true))
    assert.matches("[secret " .. name .. "]", lines[1], 1, true)
    support.write(folder, "weir.lua", ("return { model = '%s' }"):format(value))
    local result = support.host({ "config" }, { cwd = folder })
    assert.is_truthy(result.stdout:find(value, 1, true)) -- the control: another process does not know it
    support.write(folder, "pipelines/say.lua", ([[
      local weir = require "weir"
      return weir.flow "say" { function(ctx)
        ctx:http { url = "http://127.0.0.1:1/", headers = { x = ctx:secret "%s" } }
        print("printed " .. %q)
        return "it is " .. %q
      end }]]):format(name, value, value))
    result = support.host({ "run", "say" }, { cwd = folder })
    assert.equal(("it is [secret %s]\n"):format(name), result.stdout)
    assert.is_nil(result.stderr:find(value, 1, true))
    assert.matches(("printed [secret %s]"):format(name), result.stderr, 1, true)
  end)
end)

describe("the setting secrets", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  for text, message in pairs {
    ["1"] = "secrets: a table expected",
    ['{ "sk-hidden" }'] = "secrets: each secret has a name",
    ['{ A = "sk-hidden" }'] = "secrets: A: a table expected; write where it comes from: { env",
    ['{ A = {} }'] = "secrets: A: exactly one of env, file and command expected",
    ['{ A = { env = "X", file = "sk-hidden" } }'] = "secrets: A: exactly one of env, file and command expected",
    ['{ A = { value = "sk-hidden" } }'] = "secrets: A: exactly one of env, file and command expected",
    ['{ A = { command = "sk-hidden" } }'] = "secrets: A: command: a program and its arguments expected",
    ['{ A = { command = {} } }'] = "secrets: A: command: a program and its arguments expected",
    ['{ A = { env = "" } }'] = "secrets: A: env: a text expected",
    ['{ ["sk hidden"] = { env = "X" } }'] = "secrets: a name has 1 to 128 letters",
  } do
    it("is refused as " .. text .. ", without showing what stands there", function()
      support.write(folder, "weir.lua", "return { secrets = " .. text .. " }")
      local result = support.host({ "config" }, { cwd = folder })
      assert.equal(2, result.status)
      assert.matches(message, result.stderr, 1, true)
      assert.is_nil((result.stdout .. result.stderr):find("hidden", 1, true))
    end)
  end

  it("is shown as where the values come from, of a command the program only", function()
    support.write(folder, "weir.lua", [[return { secrets = { A = { env = "X" }, B = { file = "~/.b" }, C = { command = { "pass", "hidden" } } } }]])
    local result = support.host({ "config" }, { cwd = folder })
    assert.matches('secrets%s+{"A":"env X","B":"file ~/.b","C":"command pass"}', result.stdout)
    assert.matches("command pass", support.host({ "config", "--json" }, { cwd = folder }).stdout, 1, true)
  end)
end)
