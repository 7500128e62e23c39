# {% include "tasks/" ~ cookiecutter.task ~ "/models.py" %}
