package contracts

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMACNotations(t *testing.T) {
	want := MAC{0x0a, 0xb1, 0x02, 0xdd, 0xee, 0x0f}
	for _, text := range []string{"0a:b1:02:dd:ee:0f", "0A-B1-02-DD-EE-0F", "0ab1.02dd.ee0f", "0ab1-02dd-ee0f", "0ab102-ddee0f",
		"0ab102ddee0f", "0AB102DDEE0F", "a:b1:2:dd:ee:f", "1:a:b1:2:dd:ee:f", "1:0a:b1:02:dd:ee:0f", "01:0a:b1:02:dd:ee:0f",
		"010ab102ddee0f", "010a.b102.ddee.0f"} {
		if m, ok := ParseMAC(text); !ok || m != want {
			t.Errorf("%q reads as %v, %v", text, m, ok)
		}
		if m, ok := ParseMAC([]byte(text)); !ok || m != want {
			t.Errorf("the bytes of %q read as %v, %v", text, m, ok)
		}
	}
	for _, text := range []string{"", ":", "0a:b1:02:dd:ee", "0a:b1:02:dd:ee:0f:11", "2:0a:b1:02:dd:ee:0f", "0a:b1-02:dd:ee:0f", "0ab102ddee0",
		"0ab102ddee0f1", "020ab102ddee0f", "0a:b1:02:dd:ee:0g", "ana@isp", "00:00:00:00:00:00", "0a::02:dd:ee:0f:1", "10.0.0.1", "0ab1.02dd.ee0f.",
		"123:1:1:1:1:1", " 0a:b1:02:dd:ee:0f", "1:1:1:1:1:1:1:1", "ff"} {
		if m, ok := ParseMAC(text); ok {
			t.Errorf("%q reads as %v", text, m)
		}
	}
}

// A number alone, as telephone numbers are in Calling-Station-Id, may look like an address: twelve digits are one.
func TestMACOfDigitsOnly(t *testing.T) {
	if m, ok := ParseMAC("551199998888"); !ok || m.String() != "55:11:99:99:88:88" {
		t.Errorf("%v, %v", m, ok)
	}
}

func FuzzParseMAC(f *testing.F) {
	f.Add("0a:b1:02:dd:ee:0f")
	f.Add("1:a:b1:2:dd:ee:f")
	f.Add("010a.b102.ddee.0f")
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := ParseMAC(text)
		if b, okb := ParseMAC([]byte(text)); b != m || okb != ok {
			t.Fatalf("text and bytes of %q differ", text)
		}
		if !ok {
			if m != (MAC{}) {
				t.Fatalf("%q is no address and yet reads as %v", text, m)
			}
			return
		}
		if again, ok := ParseMAC(m.String()); !ok || again != m {
			t.Fatalf("%q reads as %v, whose text reads as %v", text, m, again)
		}
		if upper, ok := ParseMAC(strings.ToUpper(text)); !ok || upper != m {
			t.Fatalf("%q depends on its case", text)
		}
	})
}

func TestVLANOfPorts(t *testing.T) {
	for port, want := range map[string]VLAN{
		"1/1/4:501.1001":                              {501, 1001}, // Nokia SR OS
		"bng 1/1/4:501.1001 circuit7":                 {501, 1001}, // with prefix and suffix
		"1/1/4:501":                                   {0, 501},
		"eth 1/0/3:100.200 olt1/0/0/1":                {100, 200},
		"ge-1/0/0.3221225505:2001-101":                {2001, 101}, // Juniper
		"ge-1/0/0.3221225505:2001":                    {0, 2001},
		"eth1.100.200":                                {100, 200}, // accel-ppp
		"eth1.100":                                    {0, 100},
		"0/0/1/100.200":                               {100, 200}, // Cisco
		"GigabitEthernet0/1.200":                      {0, 200},
		"slot=1;subslot=0;port=2;vlanid=200;":         {0, 200}, // Huawei
		"slot=1; subslot=0; port=2; vlanid=200":       {0, 200},
		"slot=1;subslot=0;port=2;VLANID=200":          {0, 200},
		"slot=1;subslot=0;port=2;vlanid=1;vlanid2=2;": {},
		"ether2":           {},
		"pppoe-in":         {},
		"vlan200":          {},
		"eth1.4095":        {},
		"eth1.0":           {},
		"eth1.99999999999": {},
		"":                 {},
		":":                {},
		"200":              {},
		"ge-1/0/0":         {},
	} {
		if v := VLANOf(port); v != want {
			t.Errorf("%q shows %v, want %v", port, v, want)
		}
	}
}

func FuzzVLANOf(f *testing.F) {
	f.Add("1/1/4:501.1001")
	f.Add("slot=1;vlanid=200;")
	f.Fuzz(func(t *testing.T, port string) {
		v := VLANOf(port)
		if v != VLANOf([]byte(port)) {
			t.Fatal("text and bytes differ")
		}
		if !v.valid() {
			t.Fatalf("%q shows %v", port, v)
		}
		if again, err := ParseVLAN(v.String()); err != nil || again != v {
			t.Fatalf("%v reads as %v: %v", v, again, err)
		}
	})
}

func TestParseVLAN(t *testing.T) {
	for text, want := range map[string]VLAN{"": {}, "200": {0, 200}, "100:200": {100, 200}, "100.200": {100, 200}, "1-4094": {1, 4094}} {
		if v, err := ParseVLAN(text); err != nil || v != want {
			t.Errorf("%q is %v: %v", text, v, err)
		}
	}
	for _, text := range []string{"0", "4095", "0:1", "1:0", "1:4095", ":1", "1:", "a", "1:2:3", "-1", "70000"} {
		if v, err := ParseVLAN(text); err == nil {
			t.Errorf("%q is %v", text, v)
		}
	}
}

func FuzzOctets(f *testing.F) {
	f.Add("olt1/0/0/1")
	f.Add("\x00\x04\x00\x6f\x01\x03")
	f.Add("0x41")
	f.Fuzz(func(t *testing.T, raw string) {
		text := Octets(raw).String()
		if back, err := ParseOctets(text); err != nil || string(back) != raw {
			t.Fatalf("%q is written %q, which reads as %q: %v", raw, text, back, err)
		}
		if !utf8.ValidString(text) || strings.TrimSpace(text) != text {
			t.Fatalf("%q is written %q", raw, text)
		}
	})
}
