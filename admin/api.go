package admin

import "net/http"

func (s *server) api(m *http.ServeMux) {}
