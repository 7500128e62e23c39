# {% include "tasks/" ~ cookiecutter.task ~ "/example.sh" %}
