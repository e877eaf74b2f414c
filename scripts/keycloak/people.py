"""What people, their command line and the administrator do to a Keycloak, over HTTP as in life."""
import html, http.cookiejar, json, re, time, urllib.error, urllib.parse, urllib.request

REALM, CLIENT = "company", "company-cli"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


def call(method, url, form=None, body=None, bearer=None):
    """One request; its status, and what came back, read as JSON where it is."""
    headers, data = {}, None
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    if form is not None:
        data = urllib.parse.urlencode(form).encode()
    elif body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=60) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    return status, json.loads(text) if text.startswith(("{", "[")) else text


def expect(wanted, status, answer):
    if status != wanted:
        raise SystemExit(f"Keycloak answered {status}, not {wanted}: {answer}")
    return answer


class Administrator:
    """Who has the realm made, and its people."""

    def __init__(self, address, name, password):
        form = {"grant_type": "password", "client_id": "admin-cli", "username": name, "password": password}
        tokens = expect(200, *call("POST", f"{address}/realms/master/protocol/openid-connect/token", form))
        self.url, self.bearer = f"{address}/admin/realms", tokens["access_token"]
        self.secrets = [tokens["access_token"], tokens["refresh_token"], password]

    def import_realm(self, realm):
        expect(201, *call("POST", self.url, body=realm, bearer=self.bearer))

    def get(self, path):
        return expect(200, *call("GET", f"{self.url}/{REALM}/{path}", bearer=self.bearer))

    def disable(self, person):
        """As the console does it: the whole user, with the switch turned."""
        self.put(person, self.get(f"users/{person.id}") | {"enabled": False})

    def enable(self, person):
        """As a script does it: nothing but the switch."""
        self.put(person, {"enabled": True})

    def put(self, person, user):
        expect(204, *call("PUT", f"{self.url}/{REALM}/users/{person.id}", body=user, bearer=self.bearer))


class Person:
    """A user of the realm with a browser, and a command line that holds the tokens."""

    def __init__(self, address, administrator, name):
        self.name, self.email, self.password = name, f"{name}@example.com", f"{name}'s password, 2026"
        self.url = f"{address}/realms/{REALM}/protocol/openid-connect"
        # Keycloak's cookies are marked secure; on loopback a browser sends them over plain HTTP too.
        policy = http.cookiejar.DefaultCookiePolicy(secure_protocols=("https", "http"))
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar(policy)))
        self.id = next(user["id"] for user in administrator.get("users") if user["username"] == name)
        self.secrets = [self.password]

    def log_in(self, mistyped=None):
        """The device grant: the command line shows a code, the person types it in a browser and agrees."""
        device = expect(200, *self.post("auth/device", scope="openid"))
        self.secrets.append(device["device_code"])
        page = self.page(device["verification_uri_complete"])
        if mistyped:
            page = self.submit(page, username=mistyped, password=self.password)
        page = self.submit(page, username=self.name, password=self.password)
        self.submit(page, accept="Yes")
        time.sleep(1.1)  # the interval at which a command line may ask
        return self.keep(*self.post("token", grant_type=DEVICE_CODE, device_code=device["device_code"]))

    def refresh(self, token=None):
        """Whether Keycloak let it through; the new token takes the place of the old one."""
        status, answer = self.post("token", grant_type="refresh_token", refresh_token=token or self.refresh_token)
        if status == 200:
            self.keep(status, answer)
        return status == 200

    def userinfo(self):
        return expect(200, *call("GET", f"{self.url}/userinfo", bearer=self.access_token))

    def revoke(self):
        expect(200, *self.post("revoke", token=self.refresh_token))

    def log_out(self):
        expect(204, *self.post("logout", refresh_token=self.refresh_token))

    def post(self, path, **form):
        return call("POST", f"{self.url}/{path}", {"client_id": CLIENT, **form})

    def keep(self, status, answer):
        tokens = expect(200, status, answer)
        self.access_token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]
        self.secrets += [tokens[name] for name in ("access_token", "refresh_token", "id_token") if name in tokens]
        return self.refresh_token

    def page(self, url, form=None):
        data = urllib.parse.urlencode(form).encode() if form else None
        with self.browser.open(url, data, timeout=60) as answer:
            return answer.url, answer.read().decode()

    def submit(self, page, **fields):
        """Fills in the page's form, with the hidden fields that stand in it."""
        url, text = page
        form = re.search(r'<form[^>]*\baction="([^"]+)".*?</form>', text, re.DOTALL)
        if not form:
            raise SystemExit(f"no form on Keycloak's page {url}")
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form.group(0))
        return self.page(urllib.parse.urljoin(url, html.unescape(form.group(1))), dict(hidden) | fields)
