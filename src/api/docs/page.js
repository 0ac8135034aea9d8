// SPDX-License-Identifier: Apache-2.0
// Nothing is asked of another host. A request by the session of a person who is signed in wants the header.
window.SwaggerUIBundle({
	url: '/openapi.json',
	dom_id: '#viewer',
	deepLinking: true,
	validatorUrl: null,
	docExpansion: 'list',
	defaultModelsExpandDepth: 0,
	displayRequestDuration: true,
	requestInterceptor(request) {
		request.headers['X-Requested-With'] = 'review-fetcher';
		return request;
	},
});
