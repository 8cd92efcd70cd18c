-- Test 89: whatever an address is written like, a request that may go to public ones only connects to no other. Listeners
-- on all addresses of this machine say what has come through. With WEIR_PUBLIC, a public address that is this machine's
-- (in a network of its own, see spec/faults/addresses_test), the same is tried by redirects from there.

local client = require "weir.native.http_client"
local uv = require "luv"

local PUBLIC = os.getenv "WEIR_PUBLIC"
local TIMEOUT = 5 -- seconds; what is refused is refused at once

-- Not public, of every range that has a meaning of its own.
local V4 = { "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "169.254.169.254", "172.16.0.1",
  "172.31.255.255", "192.0.0.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "203.0.113.9", "224.0.0.1", "240.0.0.1",
  "255.255.255.255" }
local V6 = { "::1", "0:0:0:0:0:0:0:1", "::", "fe80::1", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "100::1", "2001:db8::1",
  "2001::1", "2001:10::1", "2001:20::1", "2001:2::1", "3fff::1", "5f00::1", "64:ff9b:1::1" }
-- An IPv4 address that is reached through an IPv6 one.
local WRAPPED = { "::ffff:%s", "0:0:0:0:0:ffff:%s", "::%s", "64:ff9b::%s", "2002:%s::1" }
local NAMES = { "localhost", "LOCALHOST", "localhost.", "ip6-localhost", "127.0.0.1.", "①②⑦.0.0.1", "127。0。0。1", "０x7f.1", "1２7.0.0.1" }
local OTHER = { "file:///etc/passwd", "ftp://127.0.0.1:PORT/", "gopher://127.0.0.1:PORT/_x", "dict://127.0.0.1:PORT/d:x", "ldap://127.0.0.1:PORT/",
  "tftp://127.0.0.1:PORT/x", "telnet://127.0.0.1:PORT", "smb://127.0.0.1/x", "rtsp://127.0.0.1:PORT/", "scp://127.0.0.1/x",
  "imap://127.0.0.1:PORT/", "mqtt://127.0.0.1:PORT/x", "ws://127.0.0.1:PORT/", "unix:///run/x.sock", "data:text/plain,x",
  "jar:http://127.0.0.1:PORT!/", "netdoc:///etc/passwd", "//127.0.0.1:PORT/", "127.0.0.1:PORT", "http:127.0.0.1:PORT", "http:///",
  "http:\\\\127.0.0.1:PORT\\", "http://127.0.0.1:PORT:PORT/", "http://[127.0.0.1]:PORT/", "http://[::1:PORT/", "http://[::1]x:PORT/" }

local function octets(address)
  local a, b, c, d = address:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$"
  return tonumber(a), tonumber(b), tonumber(c), tonumber(d)
end

-- The ways in which a C library reads an IPv4 address.
local function v4_forms(address)
  local a, b, c, d = octets(address)
  local whole = a << 24 | b << 16 | c << 8 | d
  return { address, ("%d"):format(whole), ("0x%x"):format(whole), ("0X%08X"):format(whole), ("0%o"):format(whole),
    ("0%o.0%o.0%o.0%o"):format(a, b, c, d), ("0x%x.0x%x.0x%x.0x%x"):format(a, b, c, d), ("%d.%d"):format(a, whole & 0xFFFFFF),
    ("%d.%d.%d"):format(a, b, whole & 0xFFFF), ("0x%x.%d.0%o.%d"):format(a, b, c, d), ("000%o.%d.%d.0x%x"):format(a, b, c, d),
    ("%%%02x%s"):format(address:byte(), address:sub(2)) }
end

local function v6_forms(address)
  local a, b, c, d = octets(address)
  local hex = ("%02x%02x:%02x%02x"):format(a, b, c, d)
  local forms = {}
  for index, pattern in ipairs(WRAPPED) do
    if index < #WRAPPED then forms[#forms + 1] = pattern:format(address) end
    forms[#forms + 1] = pattern:format(hex)
  end
  return forms
end

local function corpus(port)
  local urls, names = {}, {}
  local function add(host, before) urls[#urls + 1] = ("http://%s%s:%d/"):format(before or "", host, port) end
  for _, address in ipairs(V4) do
    for _, form in ipairs(v4_forms(address)) do add(form) end
    add(address, "example.org@")
    add(address, "example.org:80@")
    for _, form in ipairs(v6_forms(address)) do add(("[%s]"):format(form)) end
  end
  for _, address in ipairs(V6) do
    add(("[%s]"):format(address))
    add(("[%s]"):format(address), "example.org@")
  end
  add "[fe80::1%25lo]"
  for _, name in ipairs(NAMES) do
    add(name)
    names[urls[#urls]] = true
  end
  for _, url in ipairs(OTHER) do urls[#urls + 1] = (url:gsub("PORT", port)) end
  return urls, names
end

describe("a request to public addresses only", function()
  local handles, came, reached, port, answer

  local function listen(address, on_port)
    local listener = uv.new_tcp()
    handles[#handles + 1] = listener
    local bound = listener:bind(address, on_port, { ipv6only = address == "::" })
    if not bound or not listener:listen(128, function()
      local one = uv.new_tcp()
      listener:accept(one)
      if listener:is_closing() then return one:close() end
      handles[#handles + 1] = one
      came = came + 1
      reached[one:getsockname().ip] = true
      one:read_start(function(_, bytes)
        if one:is_closing() then return end
        if bytes then one:write(answer) else one:close() end
      end)
    end) then return nil end
    return listener:getsockname().port
  end

  before_each(function()
    handles, came, reached, answer = {}, 0, {}, "HTTP/1.1 204 No Content\r\n\r\n"
    port = assert(listen("0.0.0.0", 0))
    listen("::", port) -- where there is IPv6
  end)
  after_each(function()
    for _, handle in ipairs(handles) do
      if not handle:is_closing() then handle:close() end
    end
  end)

  local function ask(url, addresses)
    local response <close>, _, code = client.request { url = url, addresses = addresses, timeout = TIMEOUT, follow = 3 }
    return response and response.status, code
  end

  it("connects to no other one, however that is written", function()
    local urls, names = corpus(port)
    assert.is_true(#urls >= 300, #urls)
    for _, url in ipairs(urls) do
      local status, code = ask(url, "public")
      assert.is_nil(status, url)
      local is_nowhere = code == "unavailable" and names[url]
      assert.is_true(code == "denied" or code == "invalid" or is_nowhere, url .. ": " .. tostring(code))
    end
    assert.equal(0, came)
  end)

  it("is put to the test: many of these addresses lead here where any may be asked", function()
    local answered = 0
    for _, form in ipairs(v4_forms "127.0.0.1") do
      if ask(("http://%s:%d/"):format(form, port), "any") == 204 then answered = answered + 1 end
    end
    assert.is_true(answered >= 8, answered)
    assert.is_true(came >= 1, came) -- one connection serves them all: they are one address
  end)

  it("to this machine's own follows no redirect to another", function()
    for _, host in ipairs { "10.0.0.1", "169.254.169.254", "0.0.0.0", "8.8.8.8", "[fe80::1]", "[2001:4860:4860::8888]", "0xa000001", "167772161" } do
      answer = ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://%s:%d/\r\n\r\n"):format(host, port)
      local before = came
      local status, code = ask(("http://127.0.0.1:%d/"):format(port), "loopback")
      assert.is_nil(status, host)
      assert.equal("denied", code, host)
      assert.is_true(came - before <= 1, host)
    end
  end)

  if not PUBLIC then return end

  it("follows no redirect from there to another one, however that is written", function()
    local from = ("http://%s:%d/"):format(PUBLIC, port)
    assert.equal(204, (ask(from, "public")))
    for _, url in ipairs(corpus(port)) do
      answer = ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: %s\r\n\r\n"):format(url)
      local before = came
      local status, code = ask(from, "public")
      assert.is_true(status == nil and code ~= nil, url .. ": " .. tostring(status))
      assert.is_true(came - before <= 4, url) -- the first, and three redirects to a path of the same
    end
    assert.same({ [PUBLIC] = true }, reached)
  end)

  describe("by a name", function()
    local resolver, given

    -- A name server: each name has a list of answers, which are lists of addresses; the last one stays.
    before_each(function()
      resolver, given = uv.new_udp(), {}
      handles[#handles + 1] = resolver
      assert(resolver:bind("127.0.0.1", 53))
      resolver:recv_start(function(_, question, from)
        if not question or resolver:is_closing() then return end
        local name, at = "", 13
        while question:byte(at) > 0 do
          name = name .. question:sub(at + 1, at + question:byte(at)) .. "."
          at = at + question:byte(at) + 1
        end
        local kind = question:sub(at + 1, at + 2)
        local records, count = "", 0
        local answers = kind == "\0\1" and given[name:lower()]
        if answers then
          for _, address in ipairs(#answers > 1 and table.remove(answers, 1) or answers[1]) do
            records = records .. "\xC0\x0C\0\1\0\1\0\0\0\0\0\4" .. string.char(octets(address))
            count = count + 1
          end
        end
        resolver:send(question:sub(1, 2) .. "\x81\x80\0\1" .. string.pack(">I2I2I2", count, 0, 0) .. question:sub(13, at + 4) .. records,
          from.ip, from.port)
      end)
    end)

    local function url_of(name) return ("http://%s:%d/"):format(name, port) end

    it("is held to the address that is connected to, when the name had another one a moment before", function()
      for index, address in ipairs(V4) do
        local name = ("changes-%d.example.org"):format(index)
        given[name .. "."] = { { PUBLIC }, { address } }
        local waiter, addresses = require("weir.native.scheduler").waiter(), nil
        uv.getaddrinfo(name, nil, { family = "inet", socktype = "stream" }, function(_, found)
          addresses = found
          waiter:wake()
        end)
        waiter:wait("a name", 10)
        assert.equal(PUBLIC, addresses[1].addr) -- whoever checks the name first finds nothing against it
        assert.equal("denied", (select(2, ask(url_of(name), "public"))), address)
      end
      assert.equal(0, came)
    end)

    it("is held to it too when a redirect leads to such a name, and when one answer has addresses of both kinds", function()
      given["good.example.org."] = { { PUBLIC } }
      given["turns.example.org."] = { { "127.0.0.1" } }
      given["mixed.example.org."] = { { "127.0.0.1", PUBLIC } }
      assert.equal(204, (ask(url_of "good.example.org", "public")))
      answer = ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: %s\r\n\r\n"):format(url_of "turns.example.org")
      assert.equal("denied", (select(2, ask(url_of "good.example.org", "public"))))
      answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
      ask(url_of "mixed.example.org", "public")
      assert.same({ [PUBLIC] = true }, reached)
    end)
  end)
end)
